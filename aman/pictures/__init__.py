"""Pictures and videos as files hold them: the one place where a file of either is decoded."""
