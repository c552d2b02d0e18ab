"""Two adapters at once: trained to equal strength on two worlds, added up, and measured on both."""
