"""Wire formats of KuCoin."""
