"""The digest: a summary of the last complete day or week, printed or sent once to the alert channels."""
