extension LocalRuntime {
    package func takeSnapshot(_ id: String, of sandbox: String) async throws(RuntimeError) {
        guard LocalEngine.isIdentifier(id), let spec = engine.spec(of: sandbox) else { throw .notFound(sandbox) }
        // Records of earlier servers do not say which image it was.
        let image =
            spec.image ?? images.images().first { $0.root == spec.imageRoot }
            ?? SandboxImage(reference: "", root: spec.imageRoot)
        try await layers.take(id, of: image, below: spec.layers ?? [], owner: owner) {
            [engine] (target, joins) async throws(RuntimeError) in
            try await engine.copyLayer(of: sandbox, to: target, joins: joins)
        }
    }

    package func deleteSnapshot(_ id: String) async throws(RuntimeError) {
        try await layers.delete(id)
        await layers.collect { [engine] in engine.layersInUse }
    }

    package func snapshots() async throws(RuntimeError) -> [String] { layers.ids(of: owner) }
}
