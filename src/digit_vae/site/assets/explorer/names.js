// What the images are called. data: what the build wrote, {noun, nouns, classes}.

// The name of a class: a digit of MNIST, or such as "Ankle boot".
export const named = ({ classes }, label) => classes[label] ?? String(label);
