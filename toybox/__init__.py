"""The toybox: a small world whose every truth is known, and a model that learns to draw it.

In reading order:

world/         scenes, captions, photos and their exact truth
data           training data: many scenes, drawn and written to disk
training       the loop that every part shares
tokenizer      words to numbers
autoencoder    photos to latents and back
text_to_image  text encoder and UNet
controlnet     a ControlNet for each condition
annotators/    what reads control images off photos
manifest       the list of the weights
scoreboard     how well pictures follow their controls
colours        how well pictures obey their captions
card, tables   numbers into Markdown
gallery        pictures of the world for the front page
showcase       pictures by the model
"""
