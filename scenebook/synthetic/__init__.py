"""Pictures whose content is known by construction, with captions: truth to train and test on."""
