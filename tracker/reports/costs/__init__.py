"""Reports about costs at other prices."""
