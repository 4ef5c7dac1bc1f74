// Placeholder so that the package builds until this module's first test lands; its owner removes it.
