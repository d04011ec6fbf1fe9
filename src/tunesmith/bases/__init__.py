"""Bases: load a pretrained model safely, and know the families of architectures."""
