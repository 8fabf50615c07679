"""The agent: a small server on a device that measures the models which another machine sends.

It runs where nothing but Python, numpy and onnxruntime is installed, so the modules that it needs
import nothing else, and :mod:`automl.hardware.agent.pack` puts exactly those into one file.

    server   HTTP: who may ask, what is answered
    checks   what is refused, and why
    store    uploaded files by their SHA-256, in a temporary folder with a limit
    jobs     one measuring at a time; a job that is asked twice is done once
    runner   the process that a job runs in, which may die
    protocol the messages that both sides speak
"""
