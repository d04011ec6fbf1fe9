"""Label quality: how far annotators agree, what they say together, and which labels of one annotator look wrong."""
