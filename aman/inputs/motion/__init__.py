"""What is made of motion between more frames than onset and apex."""
