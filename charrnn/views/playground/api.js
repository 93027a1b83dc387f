// Requests to the server. Every failure is an Error whose message is one line.

async function failed(answer) {
  let why = `${answer.status} ${answer.statusText}`;
  try {
    why = (await answer.json()).error || why;
  } catch {
    // not JSON: the status must do
  }
  return new Error(why);
}

async function request(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer; has charrnn serve ended?");
  }
  if (!answer.ok) throw await failed(answer);
  return answer;
}

export async function get(path) {
  return request(path);
}

export async function post(path, body, signal) {
  return request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

function parsed(block) {
  const field = (name) => {
    const line = block.split("\n").find((each) => each.startsWith(`${name}: `));
    return line === undefined ? "" : line.slice(name.length + 2);
  };
  return { name: field("event"), data: JSON.parse(field("data")) };
}

async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { done: true };
  }
}

// Yields the events of a stream, {name, data}, as they come.
export async function* events(path, body, signal) {
  const answer = await post(path, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  let last = "";
  for (;;) {
    const { done, value } = await read(reader);
    if (done && last !== "end" && last !== "error") {
      throw new Error("The text breaks off here: the server has closed the connection.");
    }
    if (done) return;
    const blocks = (held + value).split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      const event = parsed(block);
      last = event.name;
      yield event;
    }
  }
}
