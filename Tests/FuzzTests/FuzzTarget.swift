/// What a fuzzer calls, by the name of its corpus folder. Each takes any bytes, and traps when a promise about them does not
/// hold: libFuzzer reports it, and the corpus test fails.
enum FuzzTarget: String, CaseIterable {
    case query, response, name, target, policy, rules, chunks, route, label, token, opening, body, reply, fields,
        http1request, http1response, json, create, renew, list, metadata, execd, terminal, link, kernel, websocket,
        answer, archive, surface, diagnostics, keys, user, engine, trace, packet,
        multipart, glob

    func run(_ bytes: UnsafeRawBufferPointer) {
        switch self {
        case .query: DNSFuzz.query(bytes)
        case .response: DNSFuzz.response(bytes)
        case .name: PolicyFuzz.name(bytes)
        case .target: PolicyFuzz.target(bytes)
        case .policy: PolicyFuzz.policy(bytes)
        case .rules: PolicyFuzz.rules(bytes)
        case .chunks: HTTP1Fuzz.chunks(bytes)
        case .http1request: HTTP1Fuzz.request(bytes)
        case .http1response: HTTP1Fuzz.response(bytes)
        case .route: IngressFuzz.route(bytes)
        case .label: IngressFuzz.label(bytes)
        case .token: IngressFuzz.token(bytes)
        case .opening: FlowFuzz.opening(bytes)
        case .body: FlowFuzz.body(bytes)
        case .reply: FlowFuzz.reply(bytes)
        case .fields: FieldsFuzz.fields(bytes)
        case .json: RequestFuzz.json(bytes)
        case .create: RequestFuzz.create(bytes)
        case .renew: RequestFuzz.renew(bytes)
        case .list: RequestFuzz.list(bytes)
        case .metadata: RequestFuzz.metadata(bytes)
        case .execd: ExecdFuzz.execd(bytes)
        case .terminal: TerminalFuzz.terminal(bytes)
        case .link: LinkFuzz.link(bytes)
        case .kernel: CodeFuzz.kernel(bytes)
        case .websocket: WebSocketFuzz.frames(bytes)
        case .answer: ClientFuzz.answer(bytes)
        case .archive: ArchiveFuzz.archive(bytes)
        case .surface: RequestFuzz.surface(bytes)
        case .diagnostics: RequestFuzz.diagnostics(bytes)
        case .keys: RequestFuzz.keys(bytes)
        case .user: ExecdFuzz.user(bytes)
        case .engine: EngineFuzz.engine(bytes)
        case .trace: TraceFuzz.context(bytes)
        case .packet: PacketFuzz.packet(bytes)
        case .multipart: FilesFuzz.multipart(bytes)
        case .glob: FilesFuzz.glob(bytes)
        }
    }
}

/// Holds in every build, unlike `assert`.
func promise(_ condition: Bool, _ text: @autoclosure () -> String, line: UInt = #line) {
    if !condition { fatalError("broken promise at line \(line): \(text())") }
}
