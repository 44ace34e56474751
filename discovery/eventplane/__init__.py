"""Events from publishers to subscribers that find each other through discovery."""
