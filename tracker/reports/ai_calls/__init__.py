"""Reports about the AI calls themselves: their speed and their errors."""
