"use strict";
// Shows what is known of a character: under the mouse, at a tap, or at the place that the
// arrow keys move through the text.
//
// A text is an element of class "inspect", whose "i" elements are the characters. Its
// data-details names a script element with a JSON list: a string for each of them.
(() => {
  const box = document.createElement("div");
  box.id = "details";
  box.setAttribute("role", "status"); // so that screen readers read what it shows
  box.hidden = true;
  document.body.append(box);
  let here = null;

  function show(mark, details) {
    if (here) here.classList.remove("here");
    here = mark;
    mark.classList.add("here");
    box.textContent = details;
    box.hidden = false;
    const place = mark.getBoundingClientRect();
    const size = box.getBoundingClientRect();
    const below = place.bottom + 6;
    const fits = below + size.height < innerHeight;
    box.style.top = `${fits ? below : Math.max(0, place.top - size.height - 6)}px`;
    box.style.left = `${Math.max(4, Math.min(place.left, innerWidth - size.width - 4))}px`;
  }

  function hide() {
    if (here) here.classList.remove("here");
    here = null;
    box.hidden = true;
  }

  function inspect(text) {
    const read = () => JSON.parse(document.getElementById(text.dataset.details).textContent);
    let details = null;
    const inside = text.getElementsByTagName("i"); // follows changes of the text
    const marks = () => [...inside];
    const point = (mark) => {
      details = details || read();
      const found = details[Array.prototype.indexOf.call(inside, mark)];
      if (found) show(mark, found);
      else hide();
    };
    text.addEventListener("mouseover", (event) => {
      const mark = event.target.closest("i");
      if (mark) point(mark);
    });
    text.addEventListener("mouseleave", hide);
    text.addEventListener("click", (event) => {
      const mark = event.target.closest("i");
      if (mark) point(mark);
    });
    text.addEventListener("blur", hide);
    text.addEventListener("keydown", (event) => {
      const all = marks();
      const at = all.indexOf(here);
      const next = {
        ArrowRight: at + 1,
        ArrowLeft: at - 1,
        Home: 0,
        End: all.length - 1,
      }[event.key];
      if (event.key === "Escape") hide();
      if (next === undefined || !all.length) return;
      event.preventDefault();
      point(all[Math.max(0, Math.min(next, all.length - 1))]);
      if (here) here.scrollIntoView({ block: "nearest" });
    });
  }

  document.querySelectorAll(".inspect").forEach(inspect);
  addEventListener("scroll", hide, { passive: true });
})();
