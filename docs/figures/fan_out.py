"""The two directions of a FanOut: copies forward, T gradients backward and one weighted sum on."""

from __future__ import annotations

from look import BLUE, GREEN, GREY, ORANGE, PINK, arrow, box, paper, save

TASKS = ((BLUE, 1), (GREEN, 2), (PINK, 3))


def main() -> None:
    figure, axes = paper(9.2, 5.2)
    for base, title in ((2.75, "forward"), (0.1, "backward")):
        axes.text(0.15, base + 2.1, title, fontsize=13, weight="bold", color="#222222")
    forward(axes, 3.95)
    backward(axes, 1.2)
    save(figure, "fan-out")


def forward(axes, y: float) -> None:
    arrow(axes, (0.2, y), (0.75, y), GREY, label="$x$")
    box(axes, (1.45, y), (1.3, 0.8), "encoder", GREY)
    arrow(axes, (2.15, y), (3.2, y), GREY, label="features $z$")
    box(axes, (3.85, y), (1.2, 1.9), "FanOut", ORANGE)
    for number, (colour, task) in enumerate(TASKS):
        height = y + 0.7 * (1 - number)
        arrow(axes, (4.5, height), (5.65, height), GREY, label="$z$ (a copy)" if number == 0 else "$z$")
        box(axes, (6.3, height), (1.2, 0.5), f"head {task}", colour)
        arrow(axes, (6.95, height), (7.75, height), colour)
        axes.text(7.85, height, f"loss $L_{task}$", va="center", color=colour)


def backward(axes, y: float) -> None:
    arrow(axes, (0.75, y), (0.2, y), GREY)
    box(axes, (1.45, y), (1.3, 0.8), "encoder\n(one pass)", GREY)
    arrow(axes, (2.95, y), (2.15, y), ORANGE, label=r"$\sum_t w_t\,g_t$", above=0.26)
    box(
        axes,
        (3.75, y),
        (1.5, 1.9),
        "Gram matrix\n$G_{ij}=\\langle g_i,g_j\\rangle$\n$\\downarrow$\nweights $w$",
        ORANGE,
    )
    for number, (colour, task) in enumerate(TASKS):
        height = y + 0.7 * (1 - number)
        arrow(
            axes, (5.65, height), (4.55, height), colour, label=rf"$g_{task}=\partial L_{task}/\partial z$", above=0.17
        )
        box(axes, (6.3, height), (1.2, 0.5), f"head {task}", colour)
        arrow(axes, (7.75, height), (6.95, height), colour)
        axes.text(7.85, height, f"$L_{task}$: own, unscaled", va="center", color=colour, fontsize=9.5)


if __name__ == "__main__":
    main()
