/** One of a few options, side by side: radio buttons that look like one control. */
interface Properties<T extends string> {
  legend: string;
  name: string;
  options: readonly { value: T; label: string; title?: string }[];
  /** Null where none of them is in force. */
  value: T | null;
  onChoose: (value: T) => void;
  disabled?: boolean;
}

export function Choice<T extends string>(props: Properties<T>) {
  const { legend, name, options, value, onChoose, disabled } = props;
  return (
    <fieldset class="choice" disabled={disabled}>
      <legend class="hidden-but-read">{legend}</legend>
      {options.map((one) => (
        <label key={one.value} title={one.title}>
          <input
            type="radio"
            name={name}
            checked={one.value === value}
            onChange={() => onChoose(one.value)}
          />
          <span>{one.label}</span>
        </label>
      ))}
    </fieldset>
  );
}
