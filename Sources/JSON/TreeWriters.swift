// The containers of `Encoder`, over what is being encoded.

struct ScalarWriter: SingleValueEncodingContainer {
    let node: EncodedNode
    let codingPath: [any CodingKey]

    func encodeNil() { node.set("null") }
    func encode(_ value: Bool) { node.set(value ? "true" : "false") }
    func encode(_ value: String) { node.set(quoted: value) }
    func encode(_ value: Double) { node.set(value) }
    func encode(_ value: Float) { node.set(value) }
    func encode(_ value: Int) { node.set(String(value)) }
    func encode(_ value: Int8) { node.set(String(value)) }
    func encode(_ value: Int16) { node.set(String(value)) }
    func encode(_ value: Int32) { node.set(String(value)) }
    func encode(_ value: Int64) { node.set(String(value)) }
    func encode(_ value: UInt) { node.set(String(value)) }
    func encode(_ value: UInt8) { node.set(String(value)) }
    func encode(_ value: UInt16) { node.set(String(value)) }
    func encode(_ value: UInt32) { node.set(String(value)) }
    func encode(_ value: UInt64) { node.set(String(value)) }
    func encode(_ value: some Encodable) throws { try value.encode(to: TreeEncoder(node, at: codingPath)) }
}

struct ObjectWriter<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let node: EncodedNode
    let codingPath: [any CodingKey]

    private func member(_ key: some CodingKey) -> ScalarWriter {
        ScalarWriter(node: node.member(key.stringValue), codingPath: codingPath + [key])
    }

    func encodeNil(forKey key: Key) { member(key).encodeNil() }
    func encode(_ value: Bool, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: String, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: Double, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: Float, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: Int, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: Int8, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: Int16, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: Int32, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: Int64, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: UInt, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: UInt8, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: UInt16, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: UInt32, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: UInt64, forKey key: Key) { member(key).encode(value) }
    func encode(_ value: some Encodable, forKey key: Key) throws { try member(key).encode(value) }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) -> KeyedEncodingContainer<Nested> {
        superEncoder(forKey: key).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        superEncoder(forKey: key).unkeyedContainer()
    }

    func superEncoder() -> any Encoder { TreeEncoder(node.member("super"), at: codingPath) }

    func superEncoder(forKey key: Key) -> any Encoder {
        TreeEncoder(node.member(key.stringValue), at: codingPath + [key])
    }
}

struct ArrayWriter: UnkeyedEncodingContainer {
    let node: EncodedNode
    let codingPath: [any CodingKey]
    var count: Int { node.count }

    private var entry: ScalarWriter { ScalarWriter(node: node.entry(), codingPath: codingPath) }

    func encodeNil() { entry.encodeNil() }
    func encode(_ value: Bool) { entry.encode(value) }
    func encode(_ value: String) { entry.encode(value) }
    func encode(_ value: Double) { entry.encode(value) }
    func encode(_ value: Float) { entry.encode(value) }
    func encode(_ value: Int) { entry.encode(value) }
    func encode(_ value: Int8) { entry.encode(value) }
    func encode(_ value: Int16) { entry.encode(value) }
    func encode(_ value: Int32) { entry.encode(value) }
    func encode(_ value: Int64) { entry.encode(value) }
    func encode(_ value: UInt) { entry.encode(value) }
    func encode(_ value: UInt8) { entry.encode(value) }
    func encode(_ value: UInt16) { entry.encode(value) }
    func encode(_ value: UInt32) { entry.encode(value) }
    func encode(_ value: UInt64) { entry.encode(value) }
    func encode(_ value: some Encodable) throws { try entry.encode(value) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        superEncoder().container(keyedBy: type)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { superEncoder().unkeyedContainer() }
    func superEncoder() -> any Encoder { TreeEncoder(node.entry(), at: codingPath) }
}
