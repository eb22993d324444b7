"""The agent: a model that is asked turn by turn, and the tools that it may use. Every turn is journaled.

`values` say what goes between the parts; `journal` is the one door to the table of turns; `loop` asks, does what the model
wants if it may, and goes on after a crash where the journal ends; `asking` speaks with models; `tools` are what a step may permit.
"""
