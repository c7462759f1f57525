"""What readers of several databases share: sheets, folders of frames, action units."""
