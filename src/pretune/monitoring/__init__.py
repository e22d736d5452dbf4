"""What is measured while serving, in the forms that monitoring systems read."""
