"""What is known of images beside their labels: boxes, outlines, run lengths and mask files.

Held in columns, not objects: a million images with a dozen boxes each take some hundred megabytes.
Readers of formats only add what they find (:class:`AnnotationBuilder`); what is wrong with it can be
told when the sizes of the images are known, once for all formats.
"""
