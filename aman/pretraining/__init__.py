"""Pre-training of the face trunk: ResNet-18 on the expressions of FER2013 or FER+; conv1 to layer3 are kept."""
