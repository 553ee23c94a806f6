"""The results of a trial: balance, kicks and the responses to them."""
