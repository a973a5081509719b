"""Encoders: from pieces to word features; pretrained ones, and one that is trained from scratch."""

# The key of config.json under which `hide_from_transformers` keeps the encoder's model_type. It is
# here because trackers and reports, which import no torch, read it.
HIDDEN_TYPE = "encoder_model_type"
