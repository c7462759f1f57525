"""Where bytes are kept: folder, S3, local copies, content keys, clean-up. Knows no Ray and no method."""
