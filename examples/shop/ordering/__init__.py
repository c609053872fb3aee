"""What is bought: orders, from being placed to being shipped or cancelled."""
