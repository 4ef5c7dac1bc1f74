// Walks a document and the schema side by side.

extension Schema {
    /// Reads a table into a section and reports every key that is wrong, unknown or missing.
    func read(_ node: TOMLNode, _ path: String, isArray: Bool = false, into section: inout Section, _ problems: inout ProblemList, _ positions: inout Positions) {
        guard case .table(let entries) = node.value else {
            return problems.add(node.line, path, "is \(node.kind); must be a table: [\(path)]")
        }
        let header = path.isEmpty ? "the file" : isArray ? "[[\(path)]]" : "[\(path)]"
        let known = settings.map(\.name) + subtables.map(\.name)
        for (name, value) in entries where !known.contains(name) {
            problems.add(value.line, full(path, name), "unknown key\(didYouMean(name, known)); \(header) takes \(known.joined(separator: ", "))")
        }
        for setting in settings {
            if let value = entries[setting.name] {
                positions.keys[full(path, setting.name)] = value.line
                setting.read(value, full(path, setting.name), &section, &problems)
            } else if setting.isRequired {
                problems.add(node.line, full(path, setting.name), "missing; each [[\(path)]] needs one")
            }
        }
        for subtable in subtables {
            if let value = entries[subtable.name] { subtable.read(value, full(path, subtable.name), &section, &problems, &positions) }
        }
    }

    /// The section as TOML.
    func write(_ section: Section, _ path: String) -> String {
        settings.compactMap { setting in setting.write(section).map { "\(setting.name) = \($0)\n" } }.joined()
            + subtables.map { $0.write(section, full(path, $0.name)) }.joined()
    }

    func keys(_ path: String) -> [String] {
        settings.map { full(path, $0.name) } + subtables.flatMap { $0.keys(full(path, $0.name)) }
    }

    private func full(_ path: String, _ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
}

extension Subtable {
    static func table<Inner>(_ name: String, _ field: WritableKeyPath<Section, Inner>, _ schema: Schema<Inner>) -> Subtable {
        Subtable(name: name, isArray: false) { node, path, section, problems, positions in
            positions.keys[path] = node.line
            schema.read(node, path, into: &section[keyPath: field], &problems, &positions)
        } write: { section, path in
            "\n[\(path)]\n" + schema.write(section[keyPath: field], path)
        } keys: {
            schema.keys($0)
        }
    }

    static func array<Inner>(
        _ name: String, _ field: WritableKeyPath<Section, [Inner]>, _ schema: Schema<Inner>,
        positions place: WritableKeyPath<Positions, [Positions.KeyLines]>, make: @escaping () -> Inner
    ) -> Subtable {
        Subtable(name: name, isArray: true) { node, path, section, problems, positions in
            guard case .array(let nodes) = node.value else {
                return problems.add(node.line, path, "is \(node.kind); must be an array of tables: [[\(path)]]")
            }
            for element in nodes {
                var inner = make()
                var innerLines = Positions()
                schema.read(element, path, isArray: true, into: &inner, &problems, &innerLines)
                guard case .table(let entries) = element.value else { continue }
                var lines = entries.mapValues(\.line)
                for (key, value) in entries {
                    guard case .array(let items) = value.value else { continue }
                    for (index, item) in items.enumerated() { lines["\(key)[\(index)]"] = item.line }
                }
                section[keyPath: field].append(inner)
                positions[keyPath: place].append(Positions.KeyLines(table: element.line, keys: lines, inner: innerLines.nextHops))
            }
        } write: { section, path in
            section[keyPath: field].map { "\n[[\(path)]]\n" + schema.write($0, path) }.joined()
        } keys: {
            schema.keys($0 + "[]")
        }
    }
}
