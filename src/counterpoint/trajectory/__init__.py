"""What happened along a training trajectory: conflict, curvature, Fisher information, coherence, generalization gap.

Each name is loaded when it is first used: the gap is read off finished results, and needs no torch.
"""
