"""Fine-tuning CLIP on image-caption pairs; everything here but `pairs` needs torch."""
