"""The tanh network as a textbook writes it, the twin that the fast one must equal.

One text, one character, one time step at a time. Vectors are rows, as in the package:
x (V,) is one-hot, h (H,) the hidden state, p (V,) the chances of the next character.

    h[t] = tanh(x[t] Wx + h[t-1] Wh + b)
    p[t] = softmax(h[t] W + b_out)
    loss = mean over t of -log p[t][target[t]]
"""

import numpy as np


def one_hot(character, V):
    x = np.zeros(V)
    x[character] = 1.0
    return x


def step_forward(params, character, h_before):
    """Read one character; return the new hidden state and the chances of the next."""
    x = one_hot(character, len(params["layer0.Wx"]))
    a = x @ params["layer0.Wx"] + h_before @ params["layer0.Wh"] + params["layer0.b"]
    h = np.tanh(a)
    z = h @ params["output.W"] + params["output.b"]
    e = np.exp(z - z.max())
    return h, e / e.sum()


def step_backward(params, grads, character, target, h_before, h, p, dh_later, T):
    """Add one step's share to grads; return the gradient in the state before it."""
    V = len(p)
    dz = (p - one_hot(target, V)) / T
    grads["output.W"] += np.outer(h, dz)
    grads["output.b"] += dz
    dh = dz @ params["output.W"].T + dh_later
    da = dh * (1 - h**2)
    grads["layer0.Wx"] += np.outer(one_hot(character, V), da)
    grads["layer0.Wh"] += np.outer(h_before, da)
    grads["layer0.b"] += da
    return da @ params["layer0.Wh"].T


def loss_and_grads(params, inputs, targets, h):
    """Go forward and back over one window (T,) of one text, from hidden state h (H,).

    Returns the mean loss in nats, the gradients by name, and the state at the end.
    """
    T = len(inputs)
    states, chances = [h], []
    for t in range(T):
        h, p = step_forward(params, inputs[t], states[-1])
        states.append(h)
        chances.append(p)
    loss = sum(-np.log(chances[t][targets[t]]) for t in range(T)) / T

    grads = {name: np.zeros_like(values) for name, values in params.items()}
    dh = np.zeros_like(h)  # nothing comes back from beyond the window
    for t in range(T - 1, -1, -1):
        dh = step_backward(
            params,
            grads,
            inputs[t],
            targets[t],
            states[t],
            states[t + 1],
            chances[t],
            dh,
            T,
        )
    return loss, grads, states[-1]


def mean_over_streams(params, inputs, targets, h):
    """Do the same for N texts (T, N), one after another, and average over them."""
    N = inputs.shape[1]
    mean_loss = 0.0
    mean_grads = {name: np.zeros_like(values) for name, values in params.items()}
    states = np.empty_like(h)
    for n in range(N):
        loss, grads, states[n] = loss_and_grads(
            params, inputs[:, n], targets[:, n], h[n]
        )
        mean_loss += loss / N
        for name, gradient in grads.items():
            mean_grads[name] += gradient / N
    return mean_loss, mean_grads, states


def descend(params, grads, lr):
    """Take one step of plain gradient descent, in place."""
    for name, gradient in grads.items():
        params[name] -= lr * gradient
