"""Control: a cart that balances a pole, by a policy that sees positions alone and must remember to know velocities."""
