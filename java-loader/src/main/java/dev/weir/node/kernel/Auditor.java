// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfLink;
import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.BpfProgram;
import dev.weir.node.bpf.Descriptor;
import dev.weir.node.bpf.Errno;
import dev.weir.node.bpf.SystemCalls;
import dev.weir.policy.plan.Verdict;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;

/**
 * Compares what is pinned, attached and in the maps with what was put there. Of tables it keeps
 * sums of hashes, one for each, so an audit that finds nothing reads the maps in large batches,
 * keeps nothing and leaves no garbage; only a table whose sum differs is compared entry by entry.
 *
 * <p>The caller holds the lock of the run directory. Not safe for use by several threads.
 */
final class Auditor {

  /** Differences of one table that are named; the others are counted. */
  private static final int NAMED = 5;

  private static final int ENROLMENT_LOOKS = 3;

  /** Longer than the kernel takes from a cgroup's entry to its directory, and back. */
  private static final Duration ENROLMENT_PAUSE = Duration.ofMillis(10);

  private final Places places;
  private final Pins pins;
  private final RunFiles files;
  private final Layouts layouts;
  private final Map<String, Mesh.Attachment> attachments;
  private final BpfMap.Batch batch = new BpfMap.Batch();
  private Optional<Expected> expected = Optional.empty();

  /**
   * What a generation should look like.
   *
   * @param tables sum of each
   * @param declared who lives where
   * @param paths sum of {@code declared} as the kernel holds it
   */
  private record Expected(
      long generation,
      int slot,
      OwnNamespace own,
      Map<Table, Sum> tables,
      Map<String, Integer> declared,
      List<Map.Entry<Path, Integer>> directories,
      Sum paths) {}

  /** Count and sum of hashes of entries, whatever their order. */
  private static final class Sum {
    private long count;
    private long hashes;

    void add(long hash) {
      count++;
      hashes += hash;
    }

    boolean same(Sum other) {
      return count == other.count && hashes == other.hashes;
    }
  }

  /** Loads programs that are gone; given by whoever knows how. */
  interface Reload {
    void run(Mesh mesh);
  }

  Auditor(Places places, Pins pins, RunFiles files, CompiledPrograms compiled) {
    this.places = places;
    this.pins = pins;
    this.files = files;
    this.layouts = compiled.layouts();
    this.attachments = Mesh.attachments(compiled);
  }

  /** One audit. */
  private final class Run {
    private final boolean repair;
    private final Reload reload;
    private final List<Drift> drifts = new ArrayList<>();

    Run(boolean repair, Reload reload) {
      this.repair = repair;
      this.reload = reload;
    }

    /** Something differs; if it is to be repaired, that is tried at once. */
    private void found(Drift.Kind kind, String what, Runnable mend) {
      if (!repair) {
        drifts.add(new Drift(kind, what, false));
        return;
      }
      try {
        mend.run();
        drifts.add(new Drift(kind, what, true));
      } catch (NodeException | BpfException e) {
        drifts.add(new Drift(kind, what + "; not repaired: " + e.getMessage(), false));
      }
    }

    private void maps(PinnedObjects objects) {
      new TreeMap<>(objects.maps())
          .forEach(
              (name, id) -> {
                Path pin = pins.map(name);
                pinned(
                    Drift.Kind.MAP,
                    "map " + name,
                    id,
                    mapId(pin),
                    () -> {
                      try (BpfMap ours = BpfMap.byId(id)) {
                        Mesh.pinOver(ours::pin, pin);
                      }
                    });
              });
    }

    private void programs(Mesh mesh, PinnedObjects objects) {
      new TreeMap<>(objects.programs())
          .forEach(
              (name, id) -> {
                Path pin = pins.program(name);
                pinned(
                    Drift.Kind.PROGRAM,
                    "program " + name,
                    id,
                    programId(pin),
                    () -> pinAgain(mesh, id, pin));
              });
    }

    /** Whether what is pinned is what was. */
    private void pinned(Drift.Kind kind, String what, int id, OptionalInt pinned, Runnable mend) {
      if (pinned.isEmpty()) {
        found(kind, what + " is not pinned any more", mend);
      } else if (pinned.getAsInt() != id) {
        found(
            kind,
            what
                + " is another one than was pinned (id "
                + pinned.getAsInt()
                + " instead of "
                + id
                + ")",
            mend);
      }
    }

    /** The very program where it still runs; else a new one of the same build. */
    private void pinAgain(Mesh mesh, int id, Path pin) {
      Optional<BpfProgram> ours = Mesh.existing(() -> BpfProgram.byId(id));
      if (ours.isPresent()) {
        try (BpfProgram program = ours.get()) {
          Mesh.pinOver(program::pin, pin);
        }
        return;
      }
      DurableFile.remove(pin);
      reload.run(mesh);
      files.writeObjects(PinnedObjects.of(pins));
    }

    private void links(PinnedObjects objects, Current current) {
      for (String name : new TreeMap<>(objects.programs()).keySet()) {
        Mesh.Attachment attachment = attachments.get(name);
        if (attachment == null) {
          continue;
        }
        switch (attachment.target()) {
          case ITERATOR -> {}
          case TRACEPOINT -> link(name, attachment, Optional.empty());
          case ROOT -> link(name, attachment, Optional.of(places.cgroupRoot()));
          case ROOT_ON_DEMAND -> {
            if (new Limits(current.plan()).ofPackets()) {
              link(name, attachment, Optional.of(places.cgroupRoot()));
            }
          }
          case PROXY -> {
            if (current.plan().proxy().needed()) {
              link(
                  name,
                  attachment,
                  Optional.of(
                      Enrollment.Hierarchy.of(places.cgroupRoot())
                          .directory(current.plan().settings().proxyCgroup())));
            }
          }
        }
      }
    }

    private void link(String name, Mesh.Attachment attachment, Optional<Path> directory) {
      Path pin = pins.link(name);
      OptionalInt program = programId(pins.program(name));
      String wrong = wrong(pin, program, directory);
      if (!wrong.isEmpty()) {
        found(
            Drift.Kind.LINK,
            "program " + name + wrong,
            () -> {
              attach(name, attachment, directory, pin);
              String still = wrong(pin, programId(pins.program(name)), directory);
              if (!still.isEmpty()) {
                throw new NodeException("it still" + still);
              }
            });
      }
    }

    private String wrong(Path pin, OptionalInt program, Optional<Path> directory) {
      Optional<BpfLink> opened = Mesh.openLink(pin);
      if (opened.isEmpty()) {
        return " is not attached: its link is not pinned";
      }
      try (BpfLink link = opened.get()) {
        if (directory.isPresent()
            && !OptionalLong.of(link.cgroupId()).equals(Enrollment.Hierarchy.id(directory.get()))) {
          return link.cgroupId() == 0
              ? " is not attached: its link was detached"
              : " is attached to another cgroup than " + directory.get();
        }
        int runs = link.programId();
        return program.equals(OptionalInt.of(runs))
            ? ""
            : " is not what its link runs: that is program " + runs;
      }
    }

    private void attach(
        String name, Mesh.Attachment attachment, Optional<Path> directory, Path pin) {
      try (BpfProgram program = BpfProgram.open(pins.program(name))) {
        if (directory.isEmpty()) {
          try (BpfLink made = BpfLink.attach(name, program, attachment.attachType())) {
            Mesh.pinOver(made::pin, pin);
          }
          return;
        }
        Optional<BpfLink> present = Mesh.openLink(pin);
        if (present.isPresent()) {
          try (BpfLink link = present.get()) {
            if (OptionalLong.of(link.cgroupId()).equals(Enrollment.Hierarchy.id(directory.get()))) {
              link.update(program);
              return;
            }
          }
        }
        try (Descriptor cgroup = Descriptor.open(directory.get());
            BpfLink made = BpfLink.attach(name, program, cgroup, attachment.attachType())) {
          Mesh.pinOver(made::pin, pin);
        }
      }
    }

    private void tables(Mesh mesh, Current current, Expected wanted) {
      for (Table table : Table.values()) {
        Sum should = wanted.tables().get(table);
        if (should != null && !holds(mesh, table, current.slot(), should)) {
          Generation.Contents contents =
              Optional.ofNullable(generation(current, wanted.own()).contents().get(table))
                  .orElseThrow();
          String what = differences(mesh, table, current, contents);
          found(
              Drift.Kind.ENTRY,
              what,
              () -> {
                mend(mesh, table, current, contents);
                if (!holds(mesh, table, current.slot(), should)) {
                  throw new NodeException("it differs again");
                }
              });
        }
      }
    }

    /** Last, when all that can be repaired is: what an application would meet. */
    private void canary(Mesh mesh, Current current) {
      boolean foreignMap =
          drifts.stream().anyMatch(d -> d.kind() == Drift.Kind.MAP && !d.repaired());
      if (current.governsNobody() || foreignMap) {
        return;
      }
      Enrollment.Hierarchy hierarchy = Enrollment.Hierarchy.of(places.cgroupRoot());
      Path allowed = hierarchy.directory(Canary.allowedCgroup(current.plan().settings()));
      Path refused = hierarchy.directory(Canary.refusedCgroup(current.plan().settings()));
      if (!Files.isDirectory(allowed) || !Files.isDirectory(refused)) {
        DurableFile.makeDirectory(allowed);
        DurableFile.makeDirectory(refused);
        // Where the kernel cannot be asked to do so when they are made.
        new Enrollment(layouts, hierarchy).enrol(mesh.map(Mesh.PATHS), mesh.map(Mesh.CGROUPS));
      }
      Canary.connect(allowed, refused, () -> Counters.canariesRefused(mesh))
          .forEach(wrong -> drifts.add(new Drift(Drift.Kind.CANARY, "canary: " + wrong, false)));
    }

    private void enrolment(Mesh mesh, Current current, Expected wanted) {
      BpfMap paths = mesh.map(Mesh.PATHS);
      Enrollment enrollment = new Enrollment(layouts, Enrollment.Hierarchy.of(places.cgroupRoot()));
      if (!dwellers(paths, current.slot()).same(wanted.paths())) {
        found(
            Drift.Kind.ENROLMENT,
            "paths: " + declaredOtherwise(enrollment, paths, current.slot(), wanted.declared()),
            () -> enrollment.declare(paths, current.slot(), wanted.declared()));
      }
      BpfMap cgroups = mesh.map(Mesh.CGROUPS);
      for (int look = 0; !enrolled(cgroups, current.slot(), wanted); look++) {
        if (look == ENROLMENT_LOOKS) {
          found(
              Drift.Kind.ENROLMENT,
              "cgroups: " + enrolledOtherwise(cgroups, current.slot(), wanted),
              () -> enrollment.enrol(paths, cgroups));
          return;
        }
        // A cgroup that comes or goes has its entry before or after its directory.
        LockSupport.parkNanos(ENROLMENT_PAUSE.toNanos());
      }
    }
  }

  /**
   * Compares, and repairs if asked to.
   *
   * @param believed what is in force as the caller knows it; empty for whatever is
   * @param found what is in force as the kernel says it
   */
  Audit run(
      Optional<Current> believed,
      java.util.function.Function<Mesh, Optional<Current>> found,
      boolean repair,
      Reload reload) {
    final long started = System.nanoTime();
    Run run = new Run(repair, reload);
    Optional<PinnedObjects> known = files.objects();
    known.ifPresent(run::maps);
    Optional<Mesh> opened = Mesh.open(layouts, pins);
    if (opened.isEmpty()) {
      if (run.drifts.isEmpty()) {
        throw new NodeException(
            "no mesh is in force here (nothing is pinned in "
                + places.pinDir()
                + "): run weir apply");
      }
      return new Audit(0, run.drifts, took(started));
    }
    try (Mesh mesh = opened.get()) {
      Current current =
          inForce(mesh, believed, found, run)
              .orElseThrow(() -> new NodeException("no generation is readable: run weir apply"));
      if (known.isEmpty()) {
        run.found(
            Drift.Kind.PROGRAM,
            "it is not known which programs were pinned (no file objects in "
                + places.runDir()
                + ")",
            () -> {
              reload.run(mesh);
              files.writeObjects(PinnedObjects.of(pins));
            });
      } else {
        run.programs(mesh, known.get());
      }
      OwnNamespace own = OwnNamespace.of(places.netns());
      if (repair) {
        // Addresses of the node come and go by themselves: nobody has changed anything behind us.
        mesh.tellAddresses(own);
      }
      run.links(files.objects().orElseGet(() -> PinnedObjects.of(pins)), current);
      Expected wanted = expected(current, own);
      run.tables(mesh, current, wanted);
      run.enrolment(mesh, current, wanted);
      run.canary(mesh, current);
      return new Audit(current.generation(), run.drifts, took(started));
    }
  }

  private static Duration took(long started) {
    return Duration.ofNanos(System.nanoTime() - started);
  }

  /** The generation that should be in force. */
  private Optional<Current> inForce(
      Mesh mesh,
      Optional<Current> believed,
      java.util.function.Function<Mesh, Optional<Current>> found,
      Run run) {
    if (believed.isEmpty()) {
      return found.apply(mesh);
    }
    Current ours = believed.get();
    Slot slot = mesh.slot();
    int inForce = slot.inForce(SystemCalls.bootNanos());
    OptionalLong number = mesh.generation(inForce);
    if (inForce == ours.slot() && number.equals(OptionalLong.of(ours.generation()))) {
      return believed;
    }
    // Somebody may have put a later one in force past whoever asks, and has written down which.
    if (number.isPresent()
        && number.getAsLong() > ours.generation()
        && files.generation(number.getAsLong()).isPresent()) {
      return found.apply(mesh);
    }
    if (inForce == ours.slot()) {
      return believed; // its table of generations differs, which is an entry like any other
    }
    if (slot.deadline() != 0 || ours.unconfirmed().isPresent()) {
      return found.apply(mesh); // gone back as it was told to
    }
    run.found(
        Drift.Kind.CURRENT,
        "slot "
            + inForce
            + " is in force"
            + (number.isPresent() ? " with generation " + number.getAsLong() : "")
            + ", instead of slot "
            + ours.slot()
            + " with generation "
            + ours.generation(),
        () -> mesh.store(new Slot(ours.slot(), 0)));
    return believed;
  }

  private static OptionalInt mapId(Path pin) {
    Optional<BpfMap> opened = existing(() -> BpfMap.open(pin));
    if (opened.isEmpty()) {
      return OptionalInt.empty();
    }
    try (BpfMap map = opened.get()) {
      return OptionalInt.of(map.id());
    }
  }

  private static OptionalInt programId(Path pin) {
    Optional<BpfProgram> opened = existing(() -> BpfProgram.open(pin));
    if (opened.isEmpty()) {
      return OptionalInt.empty();
    }
    try (BpfProgram program = opened.get()) {
      return OptionalInt.of(program.id());
    }
  }

  /** As {@link Mesh#existing}; what is pinned there may also be of another kind. */
  private static <T> Optional<T> existing(java.util.function.Supplier<T> open) {
    try {
      return Mesh.existing(open);
    } catch (BpfException e) {
      if (e.errno() == Errno.EINVAL) {
        return Optional.empty();
      }
      throw e;
    }
  }

  // -- tables
  // --------------------------------------------------------------------------------------

  private Generation generation(Current current, OwnNamespace own) {
    return new Generation.Writer(
            layouts,
            current.plan(),
            current.workloadNumbers(),
            current.ruleNumbers(),
            own,
            Enrollment.Hierarchy.id(places.cgroupRoot()).orElse(0))
        .write(current.generation());
  }

  private Expected expected(Current current, OwnNamespace own) {
    Expected known =
        expected
            .filter(
                e ->
                    e.generation() == current.generation()
                        && e.slot() == current.slot()
                        && e.own().equals(own))
            .orElseGet(() -> expect(current, own));
    expected = Optional.of(known);
    return known;
  }

  private Expected expect(Current current, OwnNamespace own) {
    Map<Table, Sum> sums = new EnumMap<>(Table.class);
    generation(current, own)
        .contents()
        .forEach(
            (table, contents) -> {
              Sum sum = new Sum();
              for (int i = 0; i < contents.count(); i++) {
                sum.add(
                    hash(
                        contents.keys(),
                        contents.key(i),
                        contents.keySize(),
                        contents.values(),
                        contents.value(i),
                        contents.valueSize()));
              }
              sums.put(table, sum);
            });
    Enrollment.Hierarchy hierarchy = Enrollment.Hierarchy.of(places.cgroupRoot());
    Enrollment enrollment = new Enrollment(layouts, hierarchy);
    Map<String, Integer> declared = enrollment.declared(current.plan(), current.workloadNumbers());
    Sum paths = new Sum();
    ByteBuffer number = BpfMap.newBuffer(Integer.BYTES);
    List<Map.Entry<Path, Integer>> directories = new ArrayList<>();
    declared.forEach(
        (path, who) -> {
          ByteBuffer key = enrollment.key(path);
          paths.add(hash(key, 0, layouts.path.size(), number.putInt(0, who), 0, Integer.BYTES));
          directories.add(Map.entry(hierarchy.directory(path), who));
        });
    return new Expected(
        current.generation(), current.slot(), own, sums, declared, List.copyOf(directories), paths);
  }

  private boolean holds(Mesh mesh, Table table, int slot, Sum should) {
    Optional<BpfMap> inner = mesh.inner(table, slot);
    if (inner.isEmpty()) {
      return false;
    }
    try (BpfMap map = inner.get()) {
      Sum is = new Sum();
      int keySize = map.keySize();
      int valueSize = map.valueSize();
      map.read(
          batch,
          (keys, values, count) -> {
            for (int i = 0; i < count; i++) {
              is.add(hash(keys, i * keySize, keySize, values, i * valueSize, valueSize));
            }
          });
      return is.same(should);
    }
  }

  private static long hash(
      ByteBuffer keys, int key, int keySize, ByteBuffer values, int value, int valueSize) {
    return mix(bytes(bytes(keySize, keys, key, keySize), values, value, valueSize));
  }

  private static long bytes(long seed, ByteBuffer from, int at, int size) {
    long h = seed;
    int i = 0;
    for (; i + Long.BYTES <= size; i += Long.BYTES) {
      h = (h ^ from.getLong(at + i)) * 0x9E3779B97F4A7C15L;
      h ^= h >>> 29;
    }
    for (; i < size; i++) {
      h = (h ^ (from.get(at + i) & 0xff)) * 0x9E3779B97F4A7C15L;
      h ^= h >>> 29;
    }
    return h;
  }

  private static long mix(long hash) {
    long h = (hash ^ hash >>> 32) * 0xD6E8FEB86659FD93L;
    return h ^ h >>> 32;
  }

  /** Entry by entry. */
  private record Difference(ByteBuffer key, Optional<ByteBuffer> should, Optional<ByteBuffer> is) {}

  private static ByteBuffer copy(ByteBuffer from, int at, int size) {
    return BpfMap.newBuffer(size).put(0, from, at, size);
  }

  private static List<Difference> compare(BpfMap map, Generation.Contents contents) {
    Map<ByteBuffer, ByteBuffer> should = new HashMap<>();
    for (int i = 0; i < contents.count(); i++) {
      should.put(
          contents.keys().slice(contents.key(i), contents.keySize()),
          contents.values().slice(contents.value(i), contents.valueSize()));
    }
    List<Difference> differences = new ArrayList<>();
    map.forEach(
        (key, value) -> {
          ByteBuffer wanted = should.remove(key.slice(0, contents.keySize()));
          ByteBuffer is = value.slice(0, contents.valueSize());
          if (!is.equals(wanted)) {
            differences.add(
                new Difference(
                    copy(key, 0, contents.keySize()),
                    Optional.ofNullable(wanted).map(w -> copy(w, 0, contents.valueSize())),
                    Optional.of(copy(is, 0, contents.valueSize()))));
          }
        });
    should.forEach(
        (key, value) ->
            differences.add(
                new Difference(
                    copy(key, 0, contents.keySize()),
                    Optional.of(copy(value, 0, contents.valueSize())),
                    Optional.empty())));
    return differences;
  }

  /** Whether a map is one that could hold the table. */
  private static boolean fits(Table table, BpfMap map, Generation.Contents contents) {
    return map.type() == table.type()
        && map.keySize() == contents.keySize()
        && map.valueSize() == contents.valueSize()
        && (table.type() == BpfMap.Type.ARRAY
            ? map.maxEntries() == contents.capacity()
            : map.maxEntries() >= contents.count());
  }

  private String differences(
      Mesh mesh, Table table, Current current, Generation.Contents contents) {
    Optional<BpfMap> inner = mesh.inner(table, current.slot());
    if (inner.isEmpty()) {
      return "table " + table.map() + " is gone from slot " + current.slot();
    }
    try (BpfMap map = inner.get()) {
      if (!fits(table, map, contents)) {
        return "table " + table.map() + " is another map, of another size or form";
      }
      List<Difference> differences = compare(map, contents);
      List<String> words = new ArrayList<>();
      differences.stream().limit(NAMED).forEach(one -> describe(table, one, current, words));
      String more =
          differences.size() > NAMED ? " and " + (differences.size() - NAMED) + " more" : "";
      return "table " + table.map() + ": " + String.join(", ", words) + more;
    }
  }

  private void describe(Table table, Difference one, Current current, List<String> words) {
    if (table != Table.VERDICTS) {
      words.add(
          (one.should().isEmpty() ? "foreign" : one.is().isEmpty() ? "missing" : "changed")
              + " entry "
              + HexFormat.of().formatHex(bytes(one.key())));
      return;
    }
    List<Long> should = rows(one.should());
    List<Long> is = rows(one.is());
    is.stream()
        .filter(row -> row != 0 && !should.contains(row))
        .forEach(row -> words.add("the kernel has " + verdict(row, current)));
    should.stream()
        .filter(row -> row != 0 && !is.contains(row))
        .forEach(row -> words.add("the kernel lacks " + verdict(row, current)));
    if (words.isEmpty()) {
      words.add("rows of a bucket in another order");
    }
  }

  private static List<Long> rows(Optional<ByteBuffer> bucket) {
    List<Long> rows = new ArrayList<>();
    bucket.ifPresent(
        bytes -> {
          for (int at = 0; at < bytes.capacity(); at += Long.BYTES) {
            rows.add(bytes.getLong(at));
          }
        });
    return rows;
  }

  private static String verdict(long row, Current current) {
    Verdict verdict = Verdict.ofRow(row);
    return verdict.decision().name().toLowerCase(java.util.Locale.ROOT)
        + " from "
        + identity(verdict.source(), current)
        + " to "
        + identity(verdict.destination(), current)
        + " "
        + verdict.protocol().name().toLowerCase(java.util.Locale.ROOT)
        + " port "
        + verdict.port();
  }

  private static String identity(int index, Current current) {
    return index == 0
        ? "anybody"
        : index < current.plan().identities().size()
            ? "[" + current.plan().identities().get(index).description() + "]"
            : "identity " + index;
  }

  private static byte[] bytes(ByteBuffer buffer) {
    byte[] bytes = new byte[buffer.capacity()];
    buffer.get(0, bytes);
    return bytes;
  }

  /** Makes a table what it should be, in place where it is the right map. */
  private static void mend(Mesh mesh, Table table, Current current, Generation.Contents contents) {
    Optional<BpfMap> inner = mesh.inner(table, current.slot());
    if (inner.isPresent()) {
      try (BpfMap map = inner.get()) {
        if (fits(table, map, contents)) {
          for (Difference one : compare(map, contents)) {
            if (one.should().isPresent()) {
              map.update(one.key(), one.should().get());
            } else {
              map.delete(one.key());
            }
          }
          return;
        }
      }
    }
    Generation whole = new Generation(current.generation(), Map.of(table, contents));
    try (BpfMap made = Mesh.fill(table, current.slot(), whole)) {
      mesh.map(table.map()).updateInner(current.slot(), made);
    }
  }

  // -- enrolment
  // -----------------------------------------------------------------------------------

  private Sum dwellers(BpfMap map, int slot) {
    Sum sum = new Sum();
    int keySize = map.keySize();
    int valueSize = map.valueSize();
    int at = layouts.cgroup.workload(slot).offset();
    map.read(
        batch,
        (keys, values, count) -> {
          for (int i = 0; i < count; i++) {
            int value = i * valueSize + at;
            if (values.getInt(value) != 0) {
              sum.add(hash(keys, i * keySize, keySize, values, value, Integer.BYTES));
            }
          }
        });
    return sum;
  }

  private boolean enrolled(BpfMap cgroups, int slot, Expected wanted) {
    Sum should = new Sum();
    ByteBuffer entry =
        ByteBuffer.allocate(Long.BYTES + Integer.BYTES).order(ByteOrder.nativeOrder());
    for (Map.Entry<Path, Integer> one : wanted.directories()) {
      OptionalLong id = Enrollment.Hierarchy.id(one.getKey());
      if (id.isPresent()) {
        entry.putLong(0, id.getAsLong()).putInt(Long.BYTES, one.getValue());
        should.add(hash(entry, 0, Long.BYTES, entry, Long.BYTES, Integer.BYTES));
      }
    }
    return dwellers(cgroups, slot).same(should);
  }

  private static String declaredOtherwise(
      Enrollment enrollment, BpfMap paths, int slot, Map<String, Integer> declared) {
    Map<String, Integer> is = new TreeMap<>();
    enrollment
        .paths(paths)
        .forEach(
            (path, dwellers) -> {
              if (dwellers.in(slot) != 0) {
                is.put(path, dwellers.in(slot));
              }
            });
    return otherwise(declared, is);
  }

  private String enrolledOtherwise(BpfMap cgroups, int slot, Expected wanted) {
    Map<String, Integer> should = new TreeMap<>();
    Map<Long, String> names = new HashMap<>();
    for (Map.Entry<Path, Integer> one : wanted.directories()) {
      Enrollment.Hierarchy.id(one.getKey())
          .ifPresent(
              id -> {
                should.put(one.getKey().toString(), one.getValue());
                names.put(id, one.getKey().toString());
              });
    }
    Map<String, Integer> is = new TreeMap<>();
    cgroups.forEach(
        (key, value) -> {
          int who = layouts.cgroup.workload(slot).getInt(value, 0);
          if (who != 0) {
            long id = key.getLong(0);
            is.put(names.getOrDefault(id, "cgroup " + id), who);
          }
        });
    return otherwise(should, is);
  }

  private static String otherwise(Map<String, Integer> should, Map<String, Integer> is) {
    List<String> words = new ArrayList<>();
    is.forEach(
        (path, who) -> {
          Integer wanted = should.get(path);
          if (wanted == null) {
            words.add(path + " is workload " + who + " and should be nobody's");
          } else if (!wanted.equals(who)) {
            words.add(path + " is workload " + who + " instead of " + wanted);
          }
        });
    should.forEach(
        (path, who) -> {
          if (!is.containsKey(path)) {
            words.add(path + " is not known as workload " + who);
          }
        });
    int more = words.size() - NAMED;
    return String.join(", ", words.subList(0, Math.min(NAMED, words.size())))
        + (more > 0 ? " and " + more + " more" : "");
  }
}
