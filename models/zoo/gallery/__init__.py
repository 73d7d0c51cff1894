"""The gallery: one page that shows what each system of the zoo does, made from the exported bundles themselves."""
