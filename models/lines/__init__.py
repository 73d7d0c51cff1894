"""Line reading (OCR): the image of one line of text to its characters."""
