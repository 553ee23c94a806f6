"""One policy for rigs that it has never seen: a teacher that knows each, recurrent students."""
