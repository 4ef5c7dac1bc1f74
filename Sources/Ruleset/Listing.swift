// The text that listing commands print.

struct Listing {
    let options: PrintOptions

    func text(_ requests: [ListRequest]) -> String {
        var printer = Printer(options: options)
        for request in requests { add(request, &printer) }
        return printer.output
    }

    private func add(_ request: ListRequest, _ printer: inout Printer) {
        switch request {
        case .ruleset(let value, let family): printer.ruleset(value, family: family)
        case .tables(let value, let family):
            for table in value.tables where family == nil || table.family == family {
                printer.raw("table \(table.family.rawValue) \(table.name)" + (options.handles ? " # handle \(table.handle)" : "") + "\n")
            }
        case .table(let value, let index): printer.table(value.tables[index])
        case .chain(let value, let table, let index):
            let content = value.tables[table]
            printer.wrapped(content) { $0.chain(content.chains[index], in: content, depth: 1) }
        case .chains(let value, let family):
            for table in value.tables where family == nil || table.family == family {
                printer.wrapped(table) { printer in
                    for var chain in table.chains where !chain.isAnonymous {
                        chain.rules = []
                        printer.chain(chain, in: table, depth: 1)
                    }
                }
            }
        case .set(let value, let table, let index):
            let content = value.tables[table]
            printer.wrapped(content) { $0.set(content.sets[index], depth: 1) }
        case .sets(let value, let family, let name, let kind):
            for table in value.tables where (family == nil || table.family == family) && (name == nil || table.name == name) {
                printer.wrapped(table) { printer in
                    for set in table.sets where kind == "meters" ? set.flags.contains(.dynamic) : set.isMap == (kind == "maps") {
                        var bare = set
                        if name == nil, kind == "meters" { bare.elements = [] }
                        printer.set(bare, depth: 1)
                    }
                }
            }
        case .elements(let value, let table, let index, let elements):
            let content = value.tables[table]
            printer.wrapped(content) { $0.elementList(content.sets[index], elements, depth: 1) }
        case .object(let value, let table, let index):
            let content = value.tables[table]
            printer.wrapped(content) { $0.object(content.objects[index], depth: 1) }
        case .objects(let value, let family, let name, let kind):
            for table in value.tables where (family == nil || table.family == family) && (name == nil || table.name == name) {
                printer.wrapped(table) { printer in
                    for object in table.objects where object.value.kind == kind { printer.object(object, depth: 1) }
                }
            }
        case .flowtable(let value, let table, let index):
            let content = value.tables[table]
            printer.wrapped(content) { $0.flowtable(content.flowtables[index], depth: 1) }
        case .flowtables(let value, let family):
            for table in value.tables where family == nil || table.family == family {
                printer.wrapped(table) { printer in for flowtable in table.flowtables { printer.flowtable(flowtable, depth: 1) } }
            }
        case .describe(let node): printer.raw(Description.text(node))
        case .hooks(let value): printer.raw(Description.hooks(value))
        }
    }
}
