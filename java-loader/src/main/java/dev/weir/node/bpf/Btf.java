// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The types of a compiled object, read from its {@code .BTF} section (kernel documentation,
 * bpf/btf.rst). Only what layouts need is kept.
 */
public final class Btf {

  private static final int MAGIC = 0xeb9f;
  private static final int POINTER_SIZE = 8;
  private static final int DEPTH_LIMIT = 32;

  private record Member(String name, int type, int bitOffset) {}

  private sealed interface Type {
    record Sized(int size) implements Type {}

    record Alias(int type) implements Type {}

    record Array(int type, int count) implements Type {}

    record Structure(String name, int size, List<Member> members) implements Type {}

    record Other() implements Type {}
  }

  private final List<Type> types = new ArrayList<>();
  private final Map<String, StructLayout> structures = new HashMap<>();

  private Btf() {}

  /**
   * Reads the types of an object file.
   *
   * @param name for messages
   * @param elf the file
   * @throws BpfException when it has none, or is no object file
   */
  public static Btf of(String name, byte[] elf) {
    try {
      Btf btf = new Btf();
      btf.parse(section(name, ByteBuffer.wrap(elf).order(ByteOrder.LITTLE_ENDIAN)));
      return btf;
    } catch (BufferUnderflowException | IndexOutOfBoundsException | IllegalArgumentException e) {
      throw new BpfException(name + ": cut off or damaged (" + e + "); build it again");
    }
  }

  /** ELF-64: the section header table names every section. */
  private static ByteBuffer section(String name, ByteBuffer elf) {
    if (elf.capacity() < 64 || elf.getInt(0) != 0x464c457f) {
      throw new BpfException(name + ": not an ELF file");
    }
    int table = Math.toIntExact(elf.getLong(0x28));
    int entry = Short.toUnsignedInt(elf.getShort(0x3a));
    int count = Short.toUnsignedInt(elf.getShort(0x3c));
    int names = table + entry * Short.toUnsignedInt(elf.getShort(0x3e));
    int strings = Math.toIntExact(elf.getLong(names + 0x18));
    for (int i = 0; i < count; i++) {
      int header = table + i * entry;
      if (text(elf, strings + elf.getInt(header)).equals(".BTF")) {
        int offset = Math.toIntExact(elf.getLong(header + 0x18));
        int size = Math.toIntExact(elf.getLong(header + 0x20));
        return elf.slice(offset, size).order(ByteOrder.LITTLE_ENDIAN);
      }
    }
    throw new BpfException(name + ": no .BTF section; compile it with clang -g");
  }

  private static String text(ByteBuffer buffer, int offset) {
    int end = offset;
    while (buffer.get(end) != 0) {
      end++;
    }
    byte[] bytes = new byte[end - offset];
    buffer.get(offset, bytes);
    return new String(bytes, StandardCharsets.UTF_8);
  }

  private void parse(ByteBuffer btf) {
    if (Short.toUnsignedInt(btf.getShort(0)) != MAGIC) {
      throw new IllegalArgumentException("BTF magic");
    }
    int header = btf.getInt(4);
    int position = header + btf.getInt(8);
    int end = position + btf.getInt(12);
    int strings = header + btf.getInt(16);
    types.add(new Type.Sized(0)); // type 0 is void
    while (position < end) {
      String name = text(btf, strings + btf.getInt(position));
      int info = btf.getInt(position + 4);
      int sizeOrType = btf.getInt(position + 8);
      int count = info & 0xffff;
      boolean bitFields = info < 0;
      int kind = info >>> 24 & 0x1f;
      int rest = position + 12;
      int length;
      Type type;
      switch (kind) {
        case 1 -> { // INT
          type = new Type.Sized(sizeOrType);
          length = 4;
        }
        case 2 -> { // PTR
          type = new Type.Sized(POINTER_SIZE);
          length = 0;
        }
        case 3 -> { // ARRAY
          type = new Type.Array(btf.getInt(rest), btf.getInt(rest + 8));
          length = 12;
        }
        case 4, 5 -> { // STRUCT, UNION
          List<Member> members = new ArrayList<>(count);
          for (int i = 0; i < count; i++) {
            int member = rest + 12 * i;
            int offset = btf.getInt(member + 8);
            members.add(
                new Member(
                    text(btf, strings + btf.getInt(member)),
                    btf.getInt(member + 4),
                    bitFields ? offset & 0xffffff : offset));
          }
          type = new Type.Structure(name, sizeOrType, members);
          length = 12 * count;
        }
        case 6 -> { // ENUM
          type = new Type.Sized(sizeOrType);
          length = 8 * count;
        }
        case 8, 9, 10, 11, 18 -> { // TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG
          type = new Type.Alias(sizeOrType);
          length = 0;
        }
        case 7, 12 -> { // FWD, FUNC
          type = new Type.Other();
          length = 0;
        }
        case 13 -> { // FUNC_PROTO
          type = new Type.Other();
          length = 8 * count;
        }
        case 14, 17 -> { // VAR, DECL_TAG
          type = new Type.Other();
          length = 4;
        }
        case 15 -> { // DATASEC
          type = new Type.Other();
          length = 12 * count;
        }
        case 16 -> { // FLOAT
          type = new Type.Sized(sizeOrType);
          length = 0;
        }
        case 19 -> { // ENUM64
          type = new Type.Sized(sizeOrType);
          length = 12 * count;
        }
        default -> throw new IllegalArgumentException("BTF kind " + kind);
      }
      types.add(type);
      position = rest + length;
    }
    for (Type type : types) {
      if (type instanceof Type.Structure structure && !structure.name().isEmpty()) {
        structures.putIfAbsent(structure.name(), layout(structure));
      }
    }
  }

  private StructLayout layout(Type.Structure structure) {
    Map<String, StructLayout.Field> fields = new LinkedHashMap<>();
    for (Member member : structure.members()) {
      fields.put(
          member.name(),
          new StructLayout.Field(
              structure.name() + "." + member.name(),
              member.bitOffset() / 8,
              size(member.type(), 0)));
    }
    return new StructLayout(structure.name(), structure.size(), fields);
  }

  private int size(int index, int depth) {
    if (depth > DEPTH_LIMIT) {
      throw new IllegalArgumentException("BTF types in a circle");
    }
    return switch (types.get(index)) {
      case Type.Sized sized -> sized.size();
      case Type.Alias alias -> size(alias.type(), depth + 1);
      case Type.Array array -> array.count() * size(array.type(), depth + 1);
      case Type.Structure structure -> structure.size();
      case Type.Other other -> 0;
    };
  }

  /**
   * The layout of a structure.
   *
   * @throws BpfException when the object does not have it
   */
  public StructLayout structure(String name) {
    return Optional.ofNullable(structures.get(name))
        .orElseThrow(
            () ->
                new BpfException(
                    "struct "
                        + name
                        + " is not in the compiled programs: they and this loader are of different"
                        + " versions; build or install both from one source"));
  }
}
