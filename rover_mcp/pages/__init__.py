"""The parts that Rover's web pages share: the template environment, the content security policy,
the style, and how numbers, Markdown, terminal output and code are shown.

Whatever these functions are given is untrusted text; what they return is HTML that can neither run
anything nor load anything.
"""
