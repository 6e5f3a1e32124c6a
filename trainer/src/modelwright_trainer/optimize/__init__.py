"""Variants of a model for the processor that it will run on: in go a graph and what is asked, out come other graphs.

    python -m modelwright_trainer.optimize

`words` reads what is asked, `families` says what a graph is made of and refuses what cannot gain there, `integers` and
`half` make the graphs, `make` does one after the other. Whether a variant is as good, smaller or faster is not said
here: `prove` measures it.
"""
