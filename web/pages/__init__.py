"""What people see: pages made on the server, with a little JavaScript that keeps them fresh."""
