"""What the folders of the platforms share."""
