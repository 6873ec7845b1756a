"""What people look at in a browser (a later issue); it reads the status snapshot."""
