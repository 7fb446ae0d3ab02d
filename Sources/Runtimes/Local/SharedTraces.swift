#if canImport(Glibc)
    import Glibc
#endif

/// What all local sandboxes of a machine share, whichever server made them: it is nobody's to remove while one of them is there.
package enum SharedTraces {
    /// Removes the control groups above those of sandboxes, and the folder of their ids, as far as no sandbox needs them. Whoever
    /// makes the next one makes them anew.
    package static func removeUnused() {
        for path in [ControlGroup.sandboxesPath, ControlGroup.storagePath] {
            // The kernel keeps a group that has a process or another group in it.
            for folder in ControlGroup(path: path).folders { rmdir(folder) }
        }
        IdentifierLeases(.default, foreign: ForeignIdentifiers(accounts: [], subordinate: [])).removeIfUnused()
    }
}
