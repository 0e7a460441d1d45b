"""Who is in a study: its tables read, checked and shared out over jobs."""
