// Placeholder so that the package builds until this module's first file lands; its owner removes it.
