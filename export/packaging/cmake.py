"""A CMake target: add_subdirectory the folder, link sparsectl::policy."""

from __future__ import annotations

from sparsectl.export.packaging.example import C_MAIN
from sparsectl.export.packaging.package import Files, Package, PolicySources

_LISTS = """\
# add_subdirectory(THIS_FOLDER) and target_link_libraries(yours PRIVATE sparsectl::{prefix}).
# Configured by itself it builds the example too, which replays the golden vectors: ctest.
cmake_minimum_required(VERSION 3.16)
project(sparsectl_{prefix} LANGUAGES {languages})

add_library(sparsectl_{prefix} STATIC {sources})
add_library(sparsectl::{prefix} ALIAS sparsectl_{prefix})
target_include_directories(sparsectl_{prefix} PUBLIC ${{CMAKE_CURRENT_SOURCE_DIR}})
set_target_properties(sparsectl_{prefix} PROPERTIES C_STANDARD 99 C_STANDARD_REQUIRED ON)
if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
  # Each product and sum rounded by itself, as {prefix}.c wants it.
  target_compile_options(sparsectl_{prefix} PRIVATE $<$<COMPILE_LANGUAGE:C>:-ffp-contract=off>)
endif()

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
  enable_testing()
  add_executable(golden_vectors examples/golden_vectors.c)
  target_link_libraries(golden_vectors PRIVATE sparsectl::{prefix})
  add_test(NAME golden_vectors COMMAND golden_vectors)
endif()
"""


def layout(policy: PolicySources) -> Files:
    languages = "C ASM" if any(name.endswith(".S") for name in policy.sources) else "C"
    lists = _LISTS.format(
        languages=languages, sources=" ".join(policy.sources), prefix=policy.prefix
    )
    example = {"CMakeLists.txt": lists, "examples/golden_vectors.c": policy.named(C_MAIN)}
    return {**policy.c_files, **example}


CMAKE = Package("cmake", "a CMake target with a test", layout)
