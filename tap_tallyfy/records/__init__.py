"""Makes records out of the JSON that the API sends; knows the contract and nothing of requests."""
