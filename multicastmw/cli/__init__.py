"""What people look at in a terminal; it reads the status snapshot over the control socket."""
