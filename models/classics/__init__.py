"""The classics: what the papers that brought each recurrent network showed with it, shown again.

Elman's network learns a grammar, and the LSTM the embedded one, whose two ends lie too far apart for Elman's logistic
units; Jordan's network goes on with a chaotic series; rectified units that begin close to the identity read a picture
pixel by pixel; and gates carry two numbers over 200 steps to add them up.
"""
